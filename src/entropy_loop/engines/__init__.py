"""Engines: where a study's runs are carried and its stages made. Their contract is `contracts.Engine`.

Part of no key: every engine makes the same bytes. An engine may give `work` a store that performs the makers elsewhere
(`Store.perform`) and lets several runs at it at once (`Store.several`); the process that calls `carry` alone writes
receipts and publishes stages.
"""
