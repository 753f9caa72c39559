"""Edits as arithmetic on latents: equations 1 and 2 of the paper, with the channel-wise scale gamma of section 4.2.

All take latents (1, 4, h, w), a region (1, 1, h, w) in [0, 1], strengths alpha (B, 1, 1, 1) and gamma (4,), and return
latents (B, 4, h, w).
"""


def contrast(latents, region, alpha, gamma):
    """Equation 1: M (alpha (Z - mu) + mu) + (1 - M) Z.

    mu is gamma times the mean of Z over M, of all four channels together as in the released code.
    """
    mean = (latents * region).sum((1, 2, 3), keepdim=True) / (region.sum() * latents.shape[1])
    mean = mean * gamma[:, None, None]
    return region * (alpha * (latents - mean) + mean) + (1 - region) * latents


def brightness(latents, region, alpha, gamma):
    """Equation 2: M (Z + alpha gamma) + (1 - M) Z; alpha is in units of RGB from -1 to 1."""
    return latents + region * alpha * gamma[:, None, None]


def color(latents, region, alpha, gamma):
    """The latents as they are, once for each alpha: a colour comes by the prompt and its attention alone."""
    return latents.expand(len(alpha), -1, -1, -1)


EQUATIONS = {"contrast": contrast, "brightness": brightness, "color": color}
