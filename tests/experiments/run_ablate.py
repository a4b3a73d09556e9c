"""`ablate` with the tiny study among its own: run_ablate ARGUMENTS."""

from pathlib import Path

from experiments import cli, studies

if __name__ == "__main__":
    studies.__path__.append(str(Path(__file__).parent))
    cli.main()
