// The Java original: an annotated endpoint on embedded Tomcat, a static set of all sessions, and
// getAsyncRemote().sendText() for every push, exactly as such services are written.

import jakarta.websocket.OnClose;
import jakarta.websocket.OnError;
import jakarta.websocket.OnMessage;
import jakarta.websocket.OnOpen;
import jakarta.websocket.Session;
import jakarta.websocket.server.PathParam;
import jakarta.websocket.server.ServerContainer;
import jakarta.websocket.server.ServerEndpoint;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArraySet;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.websocket.server.WsSci;

public class TomcatServer {
    public static void main(String[] args) throws Exception {
        int port = 9000;
        int threads = 2;
        for (int i = 0; i + 1 < args.length; i += 2) {
            if (args[i].equals("--port")) {
                port = Integer.parseInt(args[i + 1]);
            } else if (args[i].equals("--threads")) {
                threads = Integer.parseInt(args[i + 1]);
            }
        }
        if (List.of(args).contains("--tls") || List.of(args).contains("--deflate")) {
            System.err.println("not available: the Tomcat peer is without TLS and compression");
            System.exit(2);
        }
        Logger.getLogger("").setLevel(Level.OFF);
        final Path base = Files.createTempDirectory("pushhub-bench-tomcat");
        final Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(base.toString());
        final Connector connector = new Connector("org.apache.coyote.http11.Http11NioProtocol");
        connector.setPort(port);
        connector.setProperty("address", "127.0.0.1");
        connector.setProperty("maxConnections", "20000");
        connector.setProperty("acceptCount", "1024");
        connector.setProperty("maxThreads", Integer.toString(Math.max(2, threads)));
        tomcat.setConnector(connector);
        final Context context = tomcat.addContext("", base.toString());
        Tomcat.addServlet(context, "default", "org.apache.catalina.servlets.DefaultServlet");
        context.addServletMappingDecoded("/", "default");
        context.addServletContainerInitializer(new WsSci(), Set.of(Endpoint.class));
        tomcat.start();
        System.out.println(
            "ready " + connector.getLocalPort() + " " + ProcessHandle.current().pid());
        tomcat.getServer().await();
    }

    @ServerEndpoint("/websocket/{userId}")
    public static class Endpoint {
        private static final Set<Session> sessions = new CopyOnWriteArraySet<>();
        private static final Map<String, Session> users = new ConcurrentHashMap<>();
        private static final AtomicLong inbound = new AtomicLong();

        private String user;

        @OnOpen
        public void onOpen(Session session, @PathParam("userId") String userId) {
            user = userId;
            sessions.add(session);
            users.put(userId, session);
        }

        @OnClose
        public void onClose(Session session) {
            sessions.remove(session);
            users.remove(user);
        }

        @OnError
        public void onError(Session session, Throwable error) {}

        @OnMessage
        public void onMessage(Session session, String text) {
            if (text.isEmpty() || text.charAt(0) == 'x') {
                inbound.incrementAndGet();
            } else if (text.equals("inbound")) {
                send(session, "inbound " + inbound.get());
            } else {
                run(text.split(" "));
            }
        }

        private static void send(Session session, String text) {
            try {
                session.getAsyncRemote().sendText(text);
            } catch (IllegalStateException | IllegalArgumentException lost) {
                // The endpoint is still busy with the previous message: this one is gone.
            }
        }

        private static void sendAll(String text) {
            for (Session session : sessions) {
                send(session, text);
            }
        }

        private static void sendOne(String user, String text) {
            final Session session = users.get(user);
            if (session != null) {
                send(session, text);
            }
        }

        private static void run(String[] words) {
            final String name = words[0];
            final long a = Long.parseLong(words[1]);
            final long b = Long.parseLong(words[2]);
            final long c = words.length > 3 ? Long.parseLong(words[3]) : 0;
            if (name.equals("burst")) {
                start(() -> {
                    final String text = "x".repeat((int) b);
                    for (long i = 0; i < a; i++) {
                        sendAll(text);
                    }
                });
            } else if (name.equals("pace")) {
                start(() -> pace(a, b, c, (i, text) -> sendAll(text)));
            } else if (name.equals("one")) {
                start(() -> one(a, b, 0));
            } else if (name.equals("multi")) {
                for (long i = 0; i < a; i++) {
                    final long first = i * 7919;
                    start(() -> one(b / a, c, first));
                }
            } else if (name.equals("paceone")) {
                start(() -> {
                    final List<String> names = new ArrayList<>(users.keySet());
                    pace(a, b, c,
                        (i, text) -> sendOne(names.get((int) (i % names.size())), text));
                });
            } else if (name.equals("more")) {
                start(() -> {
                    final List<String> names = new ArrayList<>(users.keySet());
                    final String text = "x".repeat((int) b);
                    int next = 0;
                    for (long i = 0; i < a; i++) {
                        for (long j = 0; j < Math.min(c, names.size()); j++) {
                            sendOne(names.get(next++ % names.size()), text);
                        }
                    }
                });
            }
        }

        private interface Push {
            void send(long index, String text);
        }

        private static void start(Runnable work) {
            final Thread thread = new Thread(work, "business");
            thread.setDaemon(true);
            thread.start();
        }

        private static void one(long count, long size, long first) {
            final List<String> names = new ArrayList<>(users.keySet());
            final String text = "x".repeat((int) size);
            for (long i = 0; i < count; i++) {
                sendOne(names.get((int) ((first + i) % names.size())), text);
            }
        }

        private static void pace(long rate, long seconds, long size, Push push) {
            final long begin = System.nanoTime();
            final long period = 1_000_000_000L / rate;
            for (long i = 0; i < rate * seconds; i++) {
                long wait = begin + i * period - System.nanoTime();
                while (wait > 0) {
                    LockSupport.parkNanos(wait);
                    wait = begin + i * period - System.nanoTime();
                }
                // On Linux nanoTime() reads CLOCK_MONOTONIC, the clock the client compares with.
                final String stamp = System.nanoTime() + " ";
                push.send(i, stamp + "x".repeat((int) size - stamp.length()));
            }
        }
    }
}
