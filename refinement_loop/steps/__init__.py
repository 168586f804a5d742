"""What each stage of a round does: a module a stage, called as in the table `stages.STAGES`.

A module has `settings(state)`, the plain JSON values that its result depends on besides its inputs and seed, and
`work(state, folder, seed, tick)`, which fills the folder, can be taken up where it was left, and returns notes for the
manifest (what is worth knowing at a glance; a "skipped" note says why nothing was done). One whose entry says that it
`gives` a model has also `hand_on(state, done)`, the state for the stages after it.
"""
