"""Image makers: what turns a case (and its report) into a radiograph."""
