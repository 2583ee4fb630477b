"""The storybook world: drawn scenes with known truth. `scene` samples them; the other modules draw them."""
