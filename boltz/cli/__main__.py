"""`python -m boltz.cli` is the command `boltz`."""

from boltz.cli import main

if __name__ == "__main__":
    main(prog_name="boltz")
