"""Measurements: methods that encode and decode clips in processes of their own, and what is said of their results.

    bench rd-curve CLIP...    rate and quality of many methods: tables, BD-rates, plots and a page
    bench images DIR          the same over a set of pictures
    bench lossless CLIP...    sizes and speed of lossless methods
    bench speed CLIP...       encode and decode, in alternation
    bench picture CLIP PNG    methods side by side at equal bytes
    bench report DIR          tables, plots and page of a run, made again
    bench methods             what there is to compare
    bench check NAME          checks of NVC alone, a module of `checks` each; `bench check --help` lists them

The way of a point: `sources` (what is encoded) -> `methods` (adapters; `lzma` is a baseline of our own) -> `measure`
(`sweep` chooses a setting, `runner` runs and resumes, `point` has each step done by a `worker` in a fresh process,
`quality` compares) -> `results` -> `show` (`curves` and `bdrate` compare, `report`, `plot` and `page` show, `reference`
holds published figures).

What was measured, and what was decided by it, stands in NOTES.md.
"""
