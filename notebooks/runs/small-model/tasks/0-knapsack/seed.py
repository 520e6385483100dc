def algorithm(weights, values, capacity):
    """Take the items in the order given, each one that still fits."""
    chosen = []
    for i in range(len(weights)):
        if weights[i] <= capacity:
            chosen.append(i)
            capacity -= weights[i]
    return chosen
