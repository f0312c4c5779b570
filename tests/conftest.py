def pytest_addoption(parser):
    help_ = "write tests/golden anew from what the generator says, and run that"
    parser.addoption("--update-golden", action="store_true", help=help_)
