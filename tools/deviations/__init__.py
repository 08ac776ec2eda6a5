"""Where the paper's protocols and recipes differ from the official code, setting by setting: ``docs/deviations.md``.

The official side is data, looked up by hand, each value with its address; ours is read from the resolved configs.
"""
