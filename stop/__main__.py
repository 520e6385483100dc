"""`python -m stop`."""

from stop.cli import main

if __name__ == "__main__":
    main()
