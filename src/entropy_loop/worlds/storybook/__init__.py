"""The storybook world: drawn scenes with known truth. `scene` says what happens; the others draw it."""
