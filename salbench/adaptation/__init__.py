"""Fit a few numbers (input scale, blur, temperature, centre prior) of any method to some images of a new data set.

Kümmerer, Khanuja and Bethge (2025), Modeling Saliency Dataset Bias, arXiv 2505.10169, find that fewer than 20 such
numbers per data set account for more than 75 % of the gap between data sets, and that 50 images give much of that.
"""
