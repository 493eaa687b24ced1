"""Measurements: methods that encode and decode clips in processes of their own, and what is said of their results.

    bench rd-curve CLIP...    rate and quality of many methods: tables, BD-rates, plots and a page
    bench images DIR          the same over a set of pictures
    bench lossless CLIP...    sizes and speed of lossless methods
    bench speed CLIP...       encode and decode, in alternation
    bench report DIR          tables, plots and page of a run, made again
    bench methods             what there is to compare

The way of a point: `sources` (what is encoded) -> `methods` (adapters) -> `worker` (one step in a fresh process) ->
`quality` -> `measure` -> `results`. `sweep` chooses settings, `runner` runs and resumes, `curves` and `bdrate` compare,
`report`, `plot` and `page` show. `reference` holds published figures.

Checks of the codec alone, each a module with `--help`:

    bench check film      what must hold for a real film: time, memory, sound, players, remuxing
    bench check heads     what a head gains over the base that it stands on, and what history adds
    bench check exact     the same planes on every thread count, instruction set and device
"""
