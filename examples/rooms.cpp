// Rooms: groups that sessions join and leave, built on session data. A client sends "join ROOM",
// "leave ROOM", or "say ROOM TEXT", which goes to all sessions in the room.

#include <pushhub/pushhub.hpp>

#include <cstdint>
#include <iostream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

namespace {

using Names = std::set<std::string>;  // of a session's rooms: its data, for its own hooks only

class Rooms {
public:
    // From any thread.
    void send(const std::string& room, std::string_view text) const {
        std::set<pushhub::SessionPtr> members;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            const auto found = members_.find(room);
            members = found == members_.end() ? members : found->second;
        }
        for (const pushhub::SessionPtr& session : members) {
            session->send(text);
        }
    }

    void join(const pushhub::SessionPtr& session, const std::string& room) {
        if (session->data<Names>()->size() >= 100) {  // what a client can make grow has a limit
            session->send("you are in too many rooms");
            return;
        }
        session->data<Names>()->insert(room);
        const std::lock_guard<std::mutex> lock(mutex_);
        members_[room].insert(session);
    }

    void leave(const pushhub::SessionPtr& session, const std::string& room) {
        session->data<Names>()->erase(room);
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = members_.find(room);
        if (found != members_.end() && found->second.erase(session) > 0 && found->second.empty()) {
            members_.erase(found);
        }
    }

private:
    mutable std::mutex mutex_;
    std::map<std::string, std::set<pushhub::SessionPtr>> members_;
};

}  // namespace

int main(int argc, char** argv) {
    Rooms rooms;  // before the hub, whose hooks refer to it
    pushhub::Options options;
    options.port = argc > 1 ? static_cast<std::uint16_t>(std::stoul(argv[1])) : 8081;
    pushhub::PushHub<> hub{options};
    hub.onOpen([](pushhub::SessionPtr session) { session->emplaceData<Names>(); });
    hub.onMessage([&](pushhub::SessionPtr session, std::string_view message) {
        std::istringstream words{std::string(message)};
        std::string verb;
        std::string room;
        std::string text;
        std::getline(words >> verb >> room >> std::ws, text, '\0');
        if (verb == "join" && !room.empty()) {
            rooms.join(session, room);
        } else if (verb == "leave") {
            rooms.leave(session, room);
        } else if (verb == "say") {
            rooms.send(room, room + ", " + session->userId() + ": " + text);
        } else {
            session->send("join ROOM, leave ROOM, or say ROOM TEXT");
        }
    });
    hub.onClose([&](pushhub::SessionPtr session, pushhub::CloseInfo) {
        for (const std::string& room : Names(*session->data<Names>())) {
            rooms.leave(session, room);
        }
    });
    hub.start();
    std::cout << "listening on ws://127.0.0.1:" << hub.port() << "/websocket/{userId}" << std::endl;
    hub.run();
}
