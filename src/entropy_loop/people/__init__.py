"""What people say of the images: which are asked about, what was answered, and what was picked."""
