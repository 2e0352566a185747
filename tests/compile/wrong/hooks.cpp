// A hook that does not fit, and data that is wrapped.
// wrong ON_MESSAGE: onMessage takes a hook
// wrong ON_MESSAGE_ARGUMENTS: onMessage takes a hook
// wrong ON_MESSAGE_NUMBER: onMessage takes a hook
// wrong ON_OPEN: no match|no viable conversion|could not convert|cannot convert
// wrong ON_HTTP: no match|no viable conversion|could not convert|cannot convert
// wrong LVALUE: no match|no viable conversion|could not convert|cannot convert
// wrong ANY: SessionData takes the value itself

#include <any>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>

void useHub();

void useHub() {
    pushhub::PushHub<pushhub::LoopbackTransport> hub{pushhub::Options()};
    auto owning = [state = std::make_unique<int>(0)](const pushhub::SessionPtr&) { ++*state; };
    pushhub::Acceptance acceptance;
    std::any any = 1;
#if defined(ON_MESSAGE)
    hub.onMessage([](pushhub::SessionPtr, const std::string&) {});
#elif defined(ON_MESSAGE_ARGUMENTS)
    hub.onMessage([](std::string_view) {});
#elif defined(ON_MESSAGE_NUMBER)
    hub.onMessage(1);
#elif defined(ON_OPEN)
    hub.onOpen([](std::string_view) {});
#elif defined(ON_HTTP)
    hub.onHttp([](const pushhub::HttpRequest&) {});
#elif defined(LVALUE)
    hub.onOpen(owning);
#elif defined(ANY)
    acceptance.data = any;
#endif
    hub.onOpen(std::move(owning));
    acceptance.data = std::make_unique<int>(2);
}
