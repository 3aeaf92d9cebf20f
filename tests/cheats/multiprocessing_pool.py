import multiprocessing
def secret(n):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return pool.map(abs, [n])
