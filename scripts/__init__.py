"""What is used to make, measure and document the package; the package imports none of it.

    python -m scripts.tools.write_reference        # from the root of the repository, the path with dots

bench        speed and memory against what a user would otherwise run (`make bench`); `peers` is that other side
tools        the reference pages, pictures of the docs, checkpoints with random weights, schedules on paper
training     the bundled models of the storybook world (codec, diffusion, judges, attributes): each room trains and
             evaluates its own and writes their cards; `judges/loop_truth` makes the set `experiments/loop-truth`
"""
