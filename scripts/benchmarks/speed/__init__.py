"""scripts/bench speed: the same trainings with jaxnn and with other libraries, each in a fresh process."""


def main(argv: list[str]) -> int:
    # Imported here, since every entry's process imports this package, and should import no more than it needs.
    from scripts.benchmarks.speed import measure

    return measure.main(argv)
