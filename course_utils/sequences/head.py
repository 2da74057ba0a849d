"""The small classifier of the notebooks; its last layer, and the loss and the metric that belong to it."""

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


def make_model(shape: tuple[int, int, int], last_layer: keras.layers.Layer) -> keras.Sequential:
    """The small classifier that notebook 01 defines, not compiled: about 24 thousand weights.

    Its first layer brings each picture to mean 0 and deviation 1, so that values may be 0 to 255 or 0 to 1.

    Args:
        shape: (height, width, channels) of the images.
        last_layer: see `head`.

    Example:
        >>> layer, loss, metric = head(2)
        >>> make_model((64, 64, 1), layer).count_params()
        23809
    """
    layers = keras.layers
    model = keras.Sequential([layers.Input(shape)])
    model.add(layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False))
    for filters in (16, 32, 64):
        model.add(layers.Conv2D(filters, 3, strides=2, padding="same"))
        model.add(layers.ReLU())
        model.add(layers.BatchNormalization(momentum=0.9))
    model.add(layers.GlobalMaxPooling2D())
    model.add(last_layer)
    return model
