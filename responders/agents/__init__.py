"""Small programs that run on other machines. They need Python 3 and nothing of Tocsin."""
