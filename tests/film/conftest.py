"""What tests of films share."""

import codec.jobs.store  # noqa: F401  takes the film head's number before a test asks for none
