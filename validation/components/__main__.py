"""python3 -m validation.components: see measuring.py."""

from validation.components.measuring import main

if __name__ == "__main__":
    main()
