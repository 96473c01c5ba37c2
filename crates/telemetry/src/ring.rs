//! A fixed ring of decision records for each core.
