"""Train and compare methods that make a language model correct its own first answer.

CONTRIBUTING.md says which package holds what and what may import what.
"""
