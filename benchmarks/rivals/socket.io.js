// A relay with socket.io, as collaborative whiteboards use it: broadcast to everybody else.
const { Server } = require("socket.io");

const server = new Server(+process.argv[2], { transports: ["websocket"], perMessageDeflate: false });
server.on("connection", (socket) => {
  socket.on("draw", (data) => socket.broadcast.emit("draw", data));
});
