"""Train and compare ways to make a language model correct its own first answer.

The floors, lowest first: `episode` (the words), `grading` and `tracking`, `tasks` and `policies`, `rollout` and
`results`, `training`, `methods` and `metrics`, `experiment` and `reporting`, `catalogue`, and the two doors `run` and
`report`. A module imports from lower floors only; import-linter holds the house to that.
"""
