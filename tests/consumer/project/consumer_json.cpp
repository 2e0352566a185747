#include <iostream>

#include <pushhub/json/json.hpp>
#include <pushhub/version.hpp>

int main() {
    pushhub::json::Router router;
    std::cout << pushhub::version << '\n';
    return 0;
}
