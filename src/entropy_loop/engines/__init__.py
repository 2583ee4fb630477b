"""Engines: where a study's runs are carried and its stages made. Part of no key: every engine makes the same bytes.

The contract is one call:

    carry(runs, store, work, between) -> nothing, when every run is carried

`work(run, store)` carries one run, `between()` is called between two of them. An engine may give `work` a store that
performs the makers elsewhere (`Store.perform`) and lets several runs at it at once (`Store.guard`); the process that
calls `carry` alone writes receipts and publishes stages.
"""
