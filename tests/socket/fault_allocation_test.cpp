// What happens when memory is short on the loops of a hub on sockets: each allocation fails in
// turn, alone or with those that follow it.

#include <cerrno>
#include <cstdlib>
#include <new>

#include "support/allocation.hpp"
#include "support/faults.hpp"

using namespace pushhub;
using namespace pushhub::test;
using namespace pushhub::test::faults;

void* pushhub::test::allocate(std::size_t size) noexcept {
    return fault(Call::allocation) != 0 ? nullptr : std::malloc(size);
}
void pushhub::test::release(void* memory) noexcept {
    std::free(memory);
}

// Asio calls it.
extern "C" int accept4(int socket, sockaddr* address, socklen_t* size, int) {
    return acceptSmall(socket, address, size);
}

TEMPLATE_LIST_TEST_CASE("Each allocation on a loop may fail, over a socket too", "[allocation]",
                        SocketTransports) {
    inARow = GENERATE(1, 3, 30);
    Fixture<TestType> fixture;
    fixture.checkAll(Call::allocation, {ENOMEM});
    inARow = 1;
}

TEMPLATE_LIST_TEST_CASE("Each allocation may fail on the threads of a host", "[allocation]",
                        SocketTransports) {
    inARow = GENERATE(1, 3, 30);
    Fixture<TestType> fixture(GENERATE(1, 3));
    fixture.checkAll(Call::allocation, {ENOMEM});
    inARow = 1;
}

TEMPLATE_LIST_TEST_CASE("Each allocation may fail while a hub starts and stops", "[allocation]",
                        SocketTransports) {
    using H = Harness<TestType>;
    typename H::Hub hub(H::options());
    std::atomic<int> closed{0};
    hub.onClose([&](const SessionPtr&, const CloseInfo&) { ++closed; });
    how = ENOMEM;
    isTester = true;
    const bool stops = GENERATE(false, true);
    const auto failAfter = [](long successes, auto function) {
        left = successes;
        failing = Call::allocation;
        isTester = false;
        function();
        isTester = true;
        failing = Call::none;
        return left < 0;
    };
    bool struck = true;
    for (long successes = 0; struck; ++successes) {
        INFO("after " << successes);
        const auto start = [&] {
            try {
                if (!hub.isRunning()) {
                    hub.start();
                }
            } catch (const std::bad_alloc&) {
                // then it can be started later
            }
        };
        if (!stops) {
            struck = failAfter(successes, start);
        }
        start();
        REQUIRE(hub.isRunning());
        SocketClient client = H::connectSocket(hub).opened("/websocket/1");
        REQUIRE(eventually([&] { return hub.sessionCount() == 1; }));
        closed = 0;
        struck = stops ? failAfter(successes, [&] { hub.stop(std::chrono::seconds(0)); }) : struck;
        hub.stop(std::chrono::seconds(0));
        REQUIRE_FALSE(hub.isRunning());
        REQUIRE(closed == 1);
        REQUIRE(client.waitForEnd());
    }
}
