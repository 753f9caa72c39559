"""Ablation: what does one augmentation at a time change?

Choose the data (`splits`), train and score (`run`), compare (`arms`), show (`report`).
"""
