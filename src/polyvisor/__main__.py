"""`python -m polyvisor`."""

from polyvisor.cli import main

main()
