"""The last layer of a classifier, and the loss and the metric that belong to it."""

import keras

from ..checks import check_whole


def head(n_classes: int) -> tuple[keras.layers.Layer, str, keras.metrics.Metric]:
    """The last layer for labels 0 to n_classes - 1, with its loss and metric.

    One sigmoid answers "how likely is class 1?", and AUC says how well it ranks. A softmax gives each of more
    classes its share, and accuracy says how often the largest is right. With several flags an image, labels
    (n, k), the layer is `Dense(k, activation="sigmoid")` with "binary_crossentropy"; for a number to predict
    `Dense(1)` with "mse".

    Args:
        n_classes: number of classes, at least 2: `len(dataset.classes)`.

    Returns:
        The layer, the name of the loss, a metric.

    Raises:
        ValueError: there are fewer than two classes.

    Example:
        >>> layer, loss, metric = head(5)
        >>> layer.units, loss, metric.name
        (5, 'sparse_categorical_crossentropy', 'accuracy')
    """
    if check_whole("n_classes", n_classes, 2) == 2:
        return (
            keras.layers.Dense(1, activation="sigmoid"),
            "binary_crossentropy",
            keras.metrics.AUC(name="AUC"),
        )
    layer = keras.layers.Dense(n_classes, activation="softmax")
    return layer, "sparse_categorical_crossentropy", keras.metrics.SparseCategoricalAccuracy(name="accuracy")
