"""What readers see: one view model, built once, and the formats that are pure functions of it."""
