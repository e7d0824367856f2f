package controllers_test

import (
	"net/http"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/controllers"
)

// TestInstalled has a process be ready from the moment when the API server has been told to ask it, and stay so.
func TestInstalled(t *testing.T) {
	c := adminClient(t)
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: controllers.ActionsConfiguration}}
	if err := client.IgnoreNotFound(c.Delete(t.Context(), configuration)); err != nil {
		t.Fatal(err)
	}
	check := controllers.Installed{Client: c}
	request := &http.Request{}
	if err := check.Ready(request.WithContext(t.Context())); err == nil {
		t.Error("it is ready before there is a configuration")
	}
	configuration.ResourceVersion = ""
	if err := c.Create(t.Context(), configuration); err != nil {
		t.Fatal(err)
	}
	if err := check.Ready(request.WithContext(t.Context())); err != nil {
		t.Errorf("it is not ready with a configuration: %v", err)
	}
	if err := c.Delete(t.Context(), configuration); err != nil {
		t.Fatal(err)
	}
	if err := check.Ready(request.WithContext(t.Context())); err != nil {
		t.Errorf("it leaves the Service when the configuration is gone: %v", err)
	}
}
