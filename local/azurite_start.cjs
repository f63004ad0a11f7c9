// Azurite loads the library of its telemetry also when it is told to send none (--disableTelemetry): three quarters of
// its start, two seconds of a processor. It is preloaded with nothing in that place. See azurite.py.
const Module = require("module");

const load = Module._load;
Module._load = function (request, ...rest) {
  return request === "applicationinsights" ? {} : load.call(this, request, ...rest);
};
