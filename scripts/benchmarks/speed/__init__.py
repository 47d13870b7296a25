"""scripts/bench speed: the same trainings by jaxnn and by its peers, each in a fresh process."""


def main(argv: list[str]) -> int:
    # Here, since every entry's process imports this package, and should import no more than it needs.
    from scripts.benchmarks.speed import measure

    return measure.main(argv)
