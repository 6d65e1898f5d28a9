from .log_matrix import log_matmul as log_matmul
from .log_matrix import max_plus as max_plus
