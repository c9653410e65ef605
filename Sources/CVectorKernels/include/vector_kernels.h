// placeholder until the kernels land in the next change
#pragma once
