"""Engines run the chains of a study. Their contract is `contracts.Engine`.

Engines are part of no key: all of them make the same bytes. An engine may give `work` a store that performs makers
elsewhere (`Store.perform`) and that several chains use at once (`Store.several`). Only the process that calls `carry`
writes receipts and publishes stages.
"""
