"""Studies of edits (section 5.4 of the paper): does attention inside the edited region change, and by how much?

`observed` compares fixations or maps of original and edited images. `predicted` compares what models predict on an edit
set, and measures the property that was edited. `plan` assigns versions of images to participants, `power` says how
small a change they will find, and `participants` reads their fixations. `regions` measures one image; `report` writes
tables, `figures` draws.
"""
