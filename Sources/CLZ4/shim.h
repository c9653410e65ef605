// The one header through which Swift sees the system library; nothing of ours lives here.
#include <lz4.h>
