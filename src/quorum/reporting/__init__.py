"""Tables, figures and pages. Pure functions of data frames and arrays: nothing is read or tracked here."""
