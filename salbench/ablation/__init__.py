"""Ablation: what does one augmentation at a time change? Train and score (`run`), compare (`arms`), show (`report`)."""
