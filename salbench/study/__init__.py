"""Study of edits (paper section 5.4): does attention inside the edited region change, and by how much?

`observed` compares fixations or maps on originals and on edited images; `predicted` what models say about an edit set,
beside the edited property itself; `regions` has the numbers of one image; `report` the tables
and `figures` the figures.
"""
