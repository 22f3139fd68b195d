// A relay with ws: what one sends, all others get.
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: +process.argv[2] });
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data) => {
    for (const other of server.clients) if (other !== socket) other.send(data, { binary: true });
  });
});
