"""WAV files: written by other programs' code and by bytes, resampled, and errors for damaged files."""

import struct
import wave

import numpy as np
import pytest
from scipy.io import wavfile

from experiments.readers.audio import read_mono, read_wav, resampled

RNG = np.random.default_rng(0)


def riff(*chunks):
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def header(encoding=1, channels=1, rate=8000, bits=16, more=b""):
    block = channels * bits // 8
    return struct.pack("<HHIIHH", encoding, channels, rate, rate * block, block, bits) + more


TONE = (1000 * np.sin(np.arange(40))).astype("<i2")
GOOD = riff((b"fmt ", header()), (b"data", TONE.tobytes()))


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_pcm_is_that_of_the_standard_library(tmp_path, size, channels):
    """Whole numbers of each size, from the smallest to the largest, written by `wave`."""
    low, high = (0, 255) if size == 1 else (-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1)
    values = RNG.integers(low, high, (31, channels), endpoint=True)
    values[0], values[1] = low, high
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(size)
        file.setframerate(11025)
        file.writeframes(b"".join(int(v).to_bytes(size, "little", signed=size > 1) for v in values.ravel()))
    samples, rate = read_wav(path)
    expected = (values - 128) / 128 if size == 1 else values / 2.0 ** (8 * size - 1)
    assert rate == 11025 and samples.dtype == np.float32
    np.testing.assert_allclose(samples, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_those_of_scipy(tmp_path, dtype):
    values = RNG.normal(size=(20, 2)).astype(dtype)
    wavfile.write(tmp_path / "a.wav", 48000, values)
    samples, rate = read_wav(tmp_path / "a.wav")
    assert rate == 48000
    np.testing.assert_array_equal(samples, values.astype(np.float32))


def test_other_chunks_and_the_extensible_format_are_read(tmp_path):
    """With a list of an odd size before the data and one after; the encoding is in the header's extension."""
    path = tmp_path / "a.wav"
    extension = struct.pack("<HHIH", 22, 16, 0, 1) + bytes(14)
    path.write_bytes(
        riff((b"LIST", b"abc"), (b"fmt ", header(0xFFFE, more=extension)), (b"data", TONE.tobytes()), (b"id3 ", b"xy"))
    )
    np.testing.assert_array_equal(read_wav(path).samples[:, 0], TONE / np.float32(2**15))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_stream_without_a_size_is_read_to_its_end(tmp_path, size):
    path = tmp_path / "a.wav"
    path.write_bytes(GOOD[:40] + struct.pack("<I", size) + GOOD[44:] + b"\1")
    np.testing.assert_array_equal(read_wav(path).samples[:, 0], TONE / np.float32(2**15))


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 44100, 48000])
def test_a_tone_keeps_its_pitch_and_its_level(tmp_path, rate):
    """Of two channels whose mean is the tone; one above half of the new rate is filtered out."""
    t = np.arange(rate) / rate
    tone, high = 0.25 * np.sin(2 * np.pi * 440 * t), 0.25 * np.sin(2 * np.pi * 7000 * t) * (rate > 20000)
    wavfile.write(tmp_path / "a.wav", rate, np.stack([2 * tone + high, high], 1).astype(np.float32))
    samples = read_mono(tmp_path / "a.wav", 8000)
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    assert samples.shape == (8000,) and samples.dtype == np.float32
    np.testing.assert_allclose(samples[200:-200], expected[200:-200], atol=2e-3)


@pytest.mark.parametrize("given", [4000, 11025, 16000])
def test_the_number_of_resampled_samples(given):
    assert len(resampled(np.zeros(1001), given, 8000)) == -(-1001 * 8000 // given)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must be a WAV file, got other content: convert it"),
        (b"ID3\4" + bytes(40), "must be a WAV file, got an MP3 file"),
        (b"OggS" + bytes(40), "must be a WAV file, got an Ogg file"),
        (b"fLaC" + bytes(40), "must be a WAV file, got a FLAC file"),
        (bytes(4) + b"ftypM4A " + bytes(40), "must be a WAV file, got MPEG-4"),
        (GOOD[:30], "is damaged: a chunk must have 16 bytes, got 10"),
        (GOOD[:-1], "is damaged: a chunk must have 80 bytes, got 79: was it copied whole"),
        (riff((b"data", TONE.tobytes())), "is damaged: its header must have 16 bytes, got 0"),
        (riff((b"fmt ", header())), "is damaged: it has no chunk of data"),
        (riff((b"fmt ", header()), (b"data", b"")), "must have samples, got a recording of no length"),
        (riff((b"fmt ", header()), (b"data", b"\1")), "must have samples, got a recording of no length"),
        (riff((b"fmt ", header(7, bits=8)), (b"data", b"\1" * 9)), "PCM of 8 to 32 bits, or floats, got mu-law"),
        (riff((b"fmt ", header(2, bits=4)), (b"data", b"\1" * 9)), "got ADPCM of 4 bits: convert it"),
        (riff((b"fmt ", header(1234)), (b"data", b"\1" * 9)), "got encoding 1234 of 16 bits"),
        (riff((b"fmt ", header(1, bits=12)), (b"data", b"\1" * 9)), "got PCM of 12 bits"),
        (riff((b"fmt ", header(channels=0)), (b"data", b"\1" * 9)), "is damaged: its header states 0 channels"),
        (riff((b"fmt ", header(rate=0)), (b"data", b"\1" * 9)), "is damaged: .* and 0 samples a second"),
        (riff((b"fmt ", header(3, bits=32)), (b"data", np.float32("nan").tobytes())), "samples that are not finite"),
        (riff((b"fmt ", header(3, bits=64)), (b"data", np.float64(1e300).tobytes())), "samples that are not finite"),
    ],
)  # fmt: skip
def test_damage(tmp_path, data, message):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        read_wav(path)
    assert str(caught.value).startswith(str(path)) and len(str(caught.value).splitlines()) == 1


def test_any_cut_of_a_file_is_read_or_an_error(tmp_path):
    path = tmp_path / "a.wav"
    for n in range(len(GOOD)):
        path.write_bytes(GOOD[:n])
        with pytest.raises(ValueError, match="must|damaged"):
            read_wav(path)


def test_too_many_samples_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.readers.audio.MOST_SAMPLES", 39)
    (tmp_path / "a.wav").write_bytes(GOOD)
    with pytest.raises(ValueError, match="must have at most 39 samples, got 40: cut it"):
        read_wav(tmp_path / "a.wav")


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="must be a plain file, got a folder"):
        read_wav(tmp_path)
