def algorithm(x):
    return 0.0
