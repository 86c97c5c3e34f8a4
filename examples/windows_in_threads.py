"""Work that overlaps: four threads, each with a window around its work, share the energy of the time they share."""

from concurrent.futures import ThreadPoolExecutor

from exporter.client import Window, current_window, measure


@measure("worker", model="my-model")
def work(number: int) -> Window | None:
    sum(number * one for one in range(3_000_000))  # here be your work
    return current_window()


if __name__ == "__main__":
    with ThreadPoolExecutor(4) as pool:
        windows = [window for window in pool.map(work, range(4)) if window is not None]
    for window in windows:
        energy = window.energy()
        if energy is None:
            print(f"not known: {window.unknown}")
        else:
            print(f"{energy.joules:.2f} J ({energy.method}) in {energy.seconds:.2f} s, one of {energy.concurrency:.1f}")
