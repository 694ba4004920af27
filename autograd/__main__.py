"""`python -m autograd doctor`: what this installation is made of, and whether it is sound."""

import sys

from autograd.doctor import main

sys.exit(main())
