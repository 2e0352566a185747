#include <zlib.h>

#include <iostream>

#include <pushhub/version.hpp>
#if __has_include(<pushhub/deflate.hpp>)
#include <pushhub/deflate.hpp>
#endif

int main() {
    std::cout << pushhub::version << " with zlib " << zlibVersion() << '\n';
    return 0;
}
